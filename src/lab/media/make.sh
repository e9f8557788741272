#!/usr/bin/env bash
# Makes the lab's ladder from ffmpeg's own sources: 32 s, sixteen segments of 2 s, every GOP closed at a segment border.
#
#   v240 v360 v540   H.264, rendition name, timecode and segment number burnt in, a flash on each second
#   a-en a-es        AAC, one chord each, a beep with each flash
#
# Each comes as MPEG-TS (NN.ts) and as fMP4 (init.mp4, NN.m4s) of the same elementary stream, and v240, v360 and a-en once more as
# TS under AES-128. 32 s are 1500 AAC frames of 1024 samples at 48 kHz exactly, so the clip loops without a gap.
# Needs ffmpeg with libx264 and freetype, openssl, and fonts-dejavu-core.
set -euo pipefail
mkdir -p "$(dirname "$0")/ladder"
cd "$(dirname "$0")/ladder"
export LC_ALL=C

seconds=32 fps=25 gop=50 segment=2
sans=/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf
mono=/usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -rf ts fmp4 aes
run() { ffmpeg -hide_banner -loglevel error -nostdin -y -fflags +bitexact "$@"; }

# No B-frames: decoding and presentation order agree, so the first timestamp of every track is that of the clip's start.
video() { # name width height crf maxrate(kbit/s) level dark(r g b) light(r g b)
  local name=$1 w=$2 h=$3 crf=$4 rate=$5 level=$6
  shift 6
  local u=$((h / 18))
  # A gradient under three waves, each drawn once and then shifted by whole periods, so that the end joins the start.
  still() { run -f lavfi -i "nullsrc=s=$1:r=1:d=1,format=rgba,geq=$2" -frames:v 1 "$3"; }
  local mix="(0.45*X/W+0.55*Y/H)"
  still "${w}x${h}" "r='$1+($4-$1)*$mix':g='$2+($5-$2)*$mix':b='$3+($6-$3)*$mix':a=255" "$work/back.png"
  wave() { still "$((w * 2))x$h" "r=255:g=255:b=255:a='$2*clip(Y-H*($3+0.028*sin(2*PI*2*$4*X/W)),0,1)'" "$work/wave$1.png"; }
  wave 1 26 0.60 1
  wave 2 30 0.70 2
  wave 3 36 0.81 3
  local loop=(-loop 1 -framerate $fps -t $seconds -i)
  local text="fontcolor=white:fontfile"
  run "${loop[@]}" "$work/back.png" "${loop[@]}" "$work/wave1.png" "${loop[@]}" "$work/wave2.png" "${loop[@]}" "$work/wave3.png" \
    -f lavfi -i "color=c=white:s=$((u * 2))x$((u / 2)):r=$fps:d=$seconds" -filter_complex "
    [0][1]overlay=x='-W*mod(3*t/$seconds,1)'[w1];
    [w1][2]overlay=x='-W/2+W/2*mod(5*t/$seconds,1)'[w2];
    [w2][3]overlay=x='-W/3*mod(11*t/$seconds,1)',
    drawbox=x=0:y=ih-$((u / 2)):w=iw:h=$((u / 2)):color=black@0.45:t=fill,
    drawtext=$text=$sans:text='SLUICEGATE LAB':fontsize=$u:x=$u:y=$u:alpha=0.8,
    drawtext=$text=$sans:text='${h}p':fontsize=$((u * 5)):x=$u:y=(h-text_h)/2-$u,
    drawtext=$text=$mono:text='%{pts\:hms}':fontsize=$((u * 3 / 2)):x=$((u / 10)):y=h/2+$((u * 5 / 2)),
    drawtext=$text=$mono:text='${w}x${h}  segment %{eif\:floor(t/$segment)\:d\:2}':fontsize=$u:x=$u:y=h/2+$((u * 9 / 2)):alpha=0.85,
    drawbox=x=iw-$((u * 5)):y=$u:w=$((u * 4)):h=$((u * 4)):color=white@0.9:t=fill:enable='lt(mod(t,1),0.08)',
    drawbox=x=iw-$((u * 5)):y=$u:w=$((u * 4)):h=$((u * 4)):color=white@0.35:t=2[scene];
    [scene][4]overlay=x='(W-w)*t/$seconds':y=H-h:shortest=1,scale=out_color_matrix=bt709:out_range=tv,format=yuv420p[out]" \
    -map '[out]' -t $seconds -c:v libx264 -preset veryslow -tune animation -profile:v high -level "$level" -crf "$crf" \
    -maxrate "${rate}k" -bufsize "$((rate * 2))k" -bf 0 -g $gop -keyint_min $gop -sc_threshold 0 -flags +cgop \
    -color_primaries bt709 -color_trc bt709 -colorspace bt709 -threads 1 -flags:v +bitexact -an "$work/$name.mp4"
}

audio() { # name chord beep
  local name=$1 low=$2 high=$3 beep=$4
  run -f lavfi -i "aevalsrc='0.05*(sin(2*PI*$low*t)+sin(2*PI*$high*t))*(0.7+0.3*sin(2*PI*t/6))+0.25*sin(2*PI*$beep*t)*lt(mod(t,1),0.08)':s=48000:d=$((seconds + 1)),pan=stereo|c0=c0|c1=c0" \
    -c:a aac -b:a 40k -flags:a +bitexact -f adts "$work/$name.aac"
}

package() { # name input stream-options
  local name=$1 input=$2
  shift 2
  mkdir -p "ts/$name" "fmp4/$name"
  local hls=(-c copy -f hls -hls_time $segment -hls_playlist_type vod -hls_list_size 0 -map_metadata -1)
  run -i "$input" "$@" "${hls[@]}" -hls_segment_filename "ts/$name/%02d.ts" "ts/$name/index.m3u8"
  local asc=()
  [[ $input == *.aac ]] && asc=(-bsf:a aac_adtstoasc)
  run -i "$input" "$@" "${hls[@]}" "${asc[@]}" -hls_segment_type fmp4 -hls_fmp4_init_filename init.mp4 \
    -hls_segment_filename "fmp4/$name/%02d.m4s" "fmp4/$name/index.m3u8"
  # Only the durations are kept: the origin writes the playlists.
  for kind in ts fmp4; do
    sed -n 's/^#EXTINF:\([0-9.]*\),.*/\1/p' "$kind/$name/index.m3u8" >"$kind/$name/durations.txt"
    rm "$kind/$name/index.m3u8"
  done
}

# Bytes from the start of a segment to the end of its first picture: what an I-frame playlist points at.
iframes() {
  local dir=fmp4/$1 s
  for s in "$dir"/*.m4s; do
    cat "$dir/init.mp4" "$s" >"$work/one.mp4"
    ffprobe -v error -select_streams v -read_intervals '%+#1' -show_entries packet=pos,size -of csv=p=0 "$work/one.mp4" |
      awk -F, -v init="$(stat -c %s "$dir/init.mp4")" '$1 != "" { print $1 + $2 - init }'
  done >"$dir/iframes.txt"
}

encrypt() { # name
  mkdir -p "aes/$1"
  cp "ts/$1/durations.txt" "aes/$1/"
  local s n
  for s in ts/"$1"/*.ts; do
    n=$((10#$(basename "$s" .ts)))
    # The initialisation vector is the media sequence number, the default of RFC 8216, section 5.2.
    openssl enc -aes-128-cbc -K "$key" -iv "$(printf %032x $n)" -in "$s" -out "aes/$1/$(basename "$s")"
  done
}

video v240 426 240 26 110 2.1 6 44 62 26 150 140
video v360 640 360 26 190 3.0 20 26 92 96 116 232
video v540 960 540 27 340 3.1 70 16 62 232 122 74
audio a-en 220 277.18 880
audio a-es 174.61 261.63 587.33

for v in v240 v360 v540; do
  package $v "$work/$v.mp4"
  iframes $v
done
for a in a-en a-es; do package $a "$work/$a.aac" -frames:a 1500; done

mkdir aes
key=$(printf 'sluicegate lab: a key for all to see' | md5sum | cut -c1-32)
printf %s "$key" | xxd -r -p >aes/key.bin
for name in v240 v360 a-en; do encrypt $name; done
du -sh ts fmp4 aes
