"""Planted ledgers: what suspects and flags must find, and what they must leave alone."""
