"""Public data sets, one reader a module: each says what it keeps, drops and repairs."""
