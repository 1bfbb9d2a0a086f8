"""What the operator sees of a session, folded from its log. No I/O: entries in, values out."""
