"""Budgets, rates and reservations: what has been spent, what is held, and what may still be."""
