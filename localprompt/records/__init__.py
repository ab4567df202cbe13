"""Every frozen record that passes between stages; imports nothing of ours but stats."""
