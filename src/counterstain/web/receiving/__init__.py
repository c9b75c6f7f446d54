"""Images that come from clients: written to disk piece by piece, and looked at before anything is done with them."""
