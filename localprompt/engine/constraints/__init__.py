"""What answers are held to: JSON Schema, regular expressions, closed choices, grammars.

llguidance does the work (https://github.com/guidance-ai/llguidance, MIT): it reads a grammar, says
which tokens may come next, and which have to. Around it stand four things of our own:

``schema``     a JSON Schema as people write it → one that llguidance holds, and what it does not
``grammars``   schemas, choices, expressions and grammar files → a constraint
``matching``   a constraint and a vocabulary → the place of one answer in it
``answers``    the finished answer, checked once more with jsonschema

Nothing here is imported by a run whose answer is free text.
"""
