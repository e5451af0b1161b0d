train specs/attack.dl -o runs/attack -q
call runs/attack atack
