"""What an application embeds: saved detectors, and finding events in recordings of any length."""
