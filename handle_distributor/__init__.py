"""Issues signed, TSA-stamped handles. REIM calls this role Handle Distributor, the epoch-marker draft Epoch Bell."""
