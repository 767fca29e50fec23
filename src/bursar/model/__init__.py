"""The nouns: frozen values that know nothing of storage, wire formats or providers.

May import: the standard library and msgspec. Every other package speaks in these words.
`None` always means *not known*; it never stands for zero.
"""
