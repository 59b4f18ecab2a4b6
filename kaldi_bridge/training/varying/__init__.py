"""How readings are varied: voice, place, microphone, channel and what else sounds."""
