"""Who may ask, how much, and how every answer is marked."""
