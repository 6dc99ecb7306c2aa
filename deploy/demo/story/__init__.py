"""The demo's story: what happens when, what a relying party should see, what was seen, how it is shown."""
