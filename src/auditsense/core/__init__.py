"""The only Python that touches the C core."""
