# A word back for each that comes.
say ready
while IFS= read -r word; do say back; done
