# The services' configuration files, made from the templates in deploy/config.

# render TEMPLATE NAME: the template with the values of this set-up; im_NAME is the role in the database.
render() {
  local text index
  text=$(<"$1")
  text=${text//@RUN@/"$RUN"}
  text=${text//@CERTS@/"$IM_HOME/certs"}
  text=${text//@DATABASE_URL@/"$(database_url "im_$2")"}
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
    render "$ROOT/deploy/config/$name.conf" "$name" >"$fresh"
    own_role "$name"
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
  render "$ROOT/deploy/config/owner.conf" owner >"$fresh"
  replace "$IM_HOME/etc/owner.conf" <"$fresh" || true
  rm "$fresh"
}

# own_role NAME: an edited file from when all services had one role gets the one of today; else its daemon
# would find no way into the database.
own_role() {
  local file url new
  url=$(database_url im) new=$(database_url "im_$1")
  edited "$1" && grep -qF -- "\"$url\"" "$IM_HOME/etc/$1.conf" || return 0
  for file in "$IM_HOME/etc/$1.conf" "$STATE/rendered/$1.conf"; do
    awk -v old="$url" -v new="$new" '{
      at = index($0, old)
      print at ? substr($0, 1, at - 1) new substr($0, at + length(old)) : $0
    }' "$file" | replace "$file" || true
  done
  note config "etc/$1.conf: its database.url names the role im_$1 now"
}
