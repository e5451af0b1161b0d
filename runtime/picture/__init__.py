"""A network as a picture: its layers in rows, from the inputs down to the results."""
