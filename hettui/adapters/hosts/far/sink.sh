# Takes what comes, and says when it has all.
say ready
n=$(cat | wc -c)
say got "$n"
