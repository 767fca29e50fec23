"""Wire formats, read into the nouns: what a body used, what it holds, what it asks for.

May import: model. May hold: the tables and readers of wire formats, and the token estimate. Callers
use `lens` and `tokens`; the other modules are theirs. Nothing here knows prices, files or networks.
"""
