"""The language as text: sources, syntax trees, parsing, diagnostics. Knows nothing of shapes."""
