"""The ledger: what was paid, once, in integers, and what each prompt block cost over its life.

`schema` names the tables, `blocks` follows the prompt of one session, `posting` turns entries into
priced rows, `recorder` writes them in transactions, `engines` hold the rows, `reports` ask them.
May import: model, price.
"""
