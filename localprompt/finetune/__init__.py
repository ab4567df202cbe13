"""What training the same model would take, estimated with its assumptions beside it."""
