"""The Handle Distributor (REIM: Handle Distributor; epoch-marker draft: Epoch Bell): signed, TSA-stamped handles."""
