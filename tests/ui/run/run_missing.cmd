eval runs/line
