"""llama.cpp behind the engine's protocols; the only importer of llama_cpp."""
