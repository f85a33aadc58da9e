"""From the mask of a whole cine to what a person asks of it: function, indices, and whether to trust them."""
