"""What is trained: the transformer, its products in a chosen precision, its losses."""
