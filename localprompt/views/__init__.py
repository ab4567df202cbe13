"""Records → what people read: terminal, Markdown, data, one HTML page."""
