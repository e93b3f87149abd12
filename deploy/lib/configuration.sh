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

# write_configuration: renders every file anew, but leaves those alone that somebody edited; what would
# be there instead is then put beside them as NAME.conf.new.
write_configuration() {
  local name file rendered
  mkdir -p "$STATE/rendered"
  for name in "${DAEMONS[@]}"; do
    file=$IM_HOME/etc/$name.conf
    rendered=$STATE/rendered/$name.conf
    if [ -e "$file" ] && ! cmp -s "$file" "$rendered"; then
      note config "etc/$name.conf was edited here and is left alone"
      if render "$ROOT/deploy/config/$name.conf" | cmp -s - "$rendered"; then
        rm -f "$file.new"
      else
        render "$ROOT/deploy/config/$name.conf" >"$file.new"
        note "" "its template has changed since: see etc/$name.conf.new"
      fi
    elif render "$ROOT/deploy/config/$name.conf" | replace "$file"; then
      cp "$file" "$rendered"
      rm -f "$file.new"
      changed "etc/$name.conf"
    fi
  done
}
