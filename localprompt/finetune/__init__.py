"""What training the same model takes: estimated with its assumptions, or measured on this CPU."""
