"""Whether what is stored is what was written: chains, seals, cross-posts, and lawful erasures."""
