"""Calls that cross: asked in one dialect, sent to a provider that speaks another, and back.

May import: model, and the tables and readers of `dialects`. Callers use `crossing`; every crossing
goes through the neutral form of `neutral`, so that there is no code for any pair of dialects.
"""
