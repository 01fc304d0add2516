"""T1 from spoiled gradient echoes at several flip angles."""
