"""How the simulated provider writes: one voice per vendor, one wire per kind of answer.

A voice has what all of a vendor's endpoints share: ids, headers, errors, where the key stands. A
wire writes answers: whole, or as the events of a stream. Both are pure: a reply in, bytes out.
"""
