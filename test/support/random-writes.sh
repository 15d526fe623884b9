# Writes, cuts and copies pieces of the file "subject" at pseudo-random places, and the same in memory; prints the sum when both agree.
memory=/dev/shm/subject.$$
: > subject; : > "$memory"
state=12345
next() { state=$(( (state * 1103515245 + 12345) % 2147483648 )); value=$(( state / 65536 % $1 )); }
i=0
while [ $i -lt 80 ]; do
  i=$((i + 1))
  next 200000; at=$value
  next 40000; length=$((value + 1))
  next 10; what=$value
  if [ $what -eq 0 ]; then
    for file in subject "$memory"; do truncate -s $at "$file"; done
  elif [ $what -eq 1 ]; then
    mv subject renamed; sync; mv renamed subject
  else
    for file in subject "$memory"; do
      yes "piece $i" | head -c $length | dd of="$file" bs=4096 seek=$at oflag=seek_bytes conv=notrunc 2>/dev/null
    done
  fi
done
cmp subject "$memory" && sha256sum < subject | cut -d ' ' -f 1
rm "$memory"
