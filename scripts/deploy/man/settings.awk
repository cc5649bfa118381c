# Makes the settings of one program, out of `--help=markdown`, a man page's list.
#   awk -v program=ingest -f settings.awk
BEGIN { FS = " \\| " }

function roff(text) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    return text
}

/^\| `/ && ($2 == program || $2 == "both") {
    gsub(/^\| `|`$/, "", $1)
    sub(/ \|$/, "", $5)
    print ".TP"
    print ".B " roff($1)
    print roff($5)
    print "(" ($3 == "required" ? $3 : "default: " roff($3)) ($4 ~ /[^ ]/ ? "; " roff($4) : "") ")"
}
