"""Maps of the relative transmit field (BIDS: TB1DAM, TB1AFI, TB1EPI, TB1TFL, TB1RFM)."""
