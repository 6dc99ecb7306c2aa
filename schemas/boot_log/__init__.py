"""The firmware's boot log (TCG PC Client Platform Firmware Profile): records, their data, what PCRs vouch for."""
