"""EQL, the event query language of Elastic: the subset that applies to audit events.

    query text ─► lexer: tokens ─► parser: expression tree

docs/detections.md has the subset, and what is refused.
"""
