"""What executes prompts: a Protocol, llama.cpp behind it, and a double for tests."""
