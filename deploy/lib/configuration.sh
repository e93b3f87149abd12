# The services' configuration files, made from the templates in deploy/config.

# render TEMPLATE: the template with the values of this set-up.
render() {
  local text index
  text=$(<"$1")
  text=${text//@RUN@/"$RUN"}
  text=${text//@CERTS@/"$IM_HOME/certs"}
  text=${text//@DATABASE_URL@/"$(database_url)"}
  text=${text//@PORT@/"$PORT"}
  text=${text//@TLS_PORT@/"$((PORT + 1))"}
  for index in "${!DAEMONS[@]}"; do
    text=${text//@METRICS_PORT_${DAEMONS[index]}@/"$((METRICS_PORT + index))"}
  done
  printf '%s\n' "$text"
}

# edited NAME: whether somebody changed that file since it was made.
edited() { [ -e "$IM_HOME/etc/$1.conf" ] && ! cmp -s "$IM_HOME/etc/$1.conf" "$STATE/rendered/$1.conf"; }

# write_configuration: renders every file anew, but leaves those alone that somebody edited; what would
# be there instead is then put beside them as NAME.conf.new.
write_configuration() {
  local name file rendered fresh=$STATE/fresh.conf
  mkdir -p "$STATE/rendered"
  for name in "${DAEMONS[@]}"; do
    file=$IM_HOME/etc/$name.conf
    rendered=$STATE/rendered/$name.conf
    render "$ROOT/deploy/config/$name.conf" >"$fresh"
    # One that says what would be written anyway was not edited, or no longer, when it was NAME.conf.new.
    if edited "$name" && ! cmp -s "$file" "$fresh"; then
      note config "etc/$name.conf was edited here and is left alone"
      if cmp -s "$fresh" "$rendered"; then
        rm -f "$file.new"
      else
        cp "$fresh" "$file.new"
        note "" "./im would write it otherwise now: see etc/$name.conf.new"
      fi
      continue
    fi
    if replace "$file" <"$fresh"; then changed "etc/$name.conf"; fi
    cp "$fresh" "$rendered"
    rm -f "$file.new"
  done
  rm "$fresh"
}
