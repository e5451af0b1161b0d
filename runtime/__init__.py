"""Where the world is touched: files, terminals, devices, data, training, inference."""
