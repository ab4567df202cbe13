"""What training would take, estimated. Pure."""
