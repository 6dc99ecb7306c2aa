"""The boot log of the firmware (TCG PC Client Platform Firmware Profile): its events, and the facts that PCRs prove."""
