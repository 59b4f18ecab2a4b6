"""How well a phone classifier does on real speech."""
