# shellcheck shell=bash
#
# What quickstart, check and others share: packages, a work folder, build and
# installation, and a private server.  Sourced, never run.
#
# Two accounts are involved.  Packages and `make install` need root: either
# the caller is root, or sudo is asked.  Everything else - build, server,
# tests - runs as the "runner": the caller, or the user postgres if the caller
# is root, because PostgreSQL refuses to run as root.
#
# Environment:
#   PG_MAJOR   the PostgreSQL version to install and use (15)
#   PG_CONFIG  the pg_config of an installation of your own to use instead

trap 'exit 130' INT # or else the next step would follow the one interrupted
umask 022
export LC_ALL=C.UTF-8
unset LANGUAGE TMPDIR MAKEFLAGS MAKELEVEL GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
for variable in "${!PG@}"; do # PGHOST, PGOPTIONS and so on must not leak in
	[[ $variable == PG_MAJOR || $variable == PG_CONFIG ]] || unset "$variable"
done

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
area=    # the folder that open_area() has chosen
bindir=  # the programs of the chosen PostgreSQL
socket=  # the folder of the server's socket
private_port=5432 # only names the socket; no server here listens on a network

say() {
	printf '==> %s\n' "$*"
}

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

as_root() {
	if ((EUID == 0)); then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo -- "$@"
	else
		die "this needs root, and there is no sudo: $*"
	fi
}

as_runner() {
	if ((EUID == 0)); then
		runuser -u postgres -- "$@"
	else
		"$@"
	fi
}

# Run a command with its output in a log file; show the end of it on failure.
logged() {
	local log=$1
	shift
	if ! "$@" >"$log" 2>&1 </dev/null; then
		tail -n 60 -- "$log" >&2
		die "failed: $*"
	fi
}

# ---------------------------------------------------------------- packages

# Install what is missing among the Debian packages needed, and set bindir.
prepare_system() {
	local wanted=(make gcc libc6-dev libpq-dev libpcre2-dev perl libipc-run-perl libdbd-pg-perl)
	local found

	if [[ -z ${PG_CONFIG:-} ]]; then
		PG_MAJOR=${PG_MAJOR:-15}
		PG_CONFIG=/usr/lib/postgresql/$PG_MAJOR/bin/pg_config
		wanted+=("postgresql-$PG_MAJOR" "postgresql-server-dev-$PG_MAJOR")
	fi
	if command -v apt-get >/dev/null; then
		install_packages "${wanted[@]}"
	fi

	found=$(command -v -- "$PG_CONFIG") || die "there is no $PG_CONFIG"
	PG_CONFIG=$(realpath --no-symlinks -- "$found")
	bindir=$("$PG_CONFIG" --bindir)
	[[ -x $bindir/postgres ]] || die "there is no PostgreSQL server in $bindir"
	((EUID != 0)) || id postgres >/dev/null 2>&1 ||
		die "PostgreSQL refuses to run as root: create a user named postgres, or run this as an ordinary user"
}

is_installed() {
	[[ $(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

install_packages() {
	local package missing=()

	for package in "$@"; do
		is_installed "$package" || missing+=("$package")
	done
	((${#missing[@]} > 0)) || return 0

	say "Installing ${missing[*]} (this can take a few minutes)"
	# A single broken source makes the update fail, though the others may do.
	(run_apt_get update) || say 'apt-get update failed; going on with the lists there are'
	for package in "${missing[@]}"; do
		apt-cache show "$package" >/dev/null 2>&1 ||
			die "there is no package $package in this system's sources; PG_MAJOR can be set to another version of PostgreSQL"
	done
	if [[ " ${missing[*]} " == *" postgresql-${PG_MAJOR:-} "* ]]; then
		without_default_cluster run_apt_get install --no-install-recommends "${missing[@]}"
	else
		run_apt_get install --no-install-recommends "${missing[@]}"
	fi
}

run_apt_get() {
	local log

	log=$(mktemp)
	logged "$log" as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get --yes --quiet -o DPkg::Lock::Timeout=300 "$@"
	rm -f -- "$log"
}

# Debian's server package creates a cluster "main" and starts it when it is
# first installed, unless the configuration of postgresql-common says no.  We
# say no, in a drop-in file that exists only while apt-get runs: no existing
# file is edited, and nothing stays.  (For a cluster of your own later:
# pg_createcluster VERSION main.)
without_default_cluster() (
	folder=/etc/postgresql-common/createcluster.d
	file=$folder/storeengine-quickstart.conf
	trap 'as_root rm -f "$file"; as_root rmdir --ignore-fail-on-non-empty "$folder"' EXIT

	as_root mkdir -p "$folder"
	echo 'create_main_cluster = false' | as_root tee "$file" >/dev/null
	"$@"
)

# Our history may belong to another account than root.
our_git() {
	git -c safe.directory="$project" -C "$project" "$@" 2>/dev/null
}

# The commit of version 1.0: its tag, or the last one with that version in the
# control file.  False if there is neither.
released_commit() {
	local change

	if our_git rev-parse --verify --quiet 'v1.0^{commit}'; then return; fi
	change=$(our_git log -1 --format=%H -S"default_version = '1.0'" -- storeengine.control)
	[[ -n $change ]] && our_git rev-parse --verify --quiet "$change^"
}

# Whether the sources of version 1.0 can be had: from a folder .released, or else
# from the history.
has_released_sources() {
	[[ -d $project/.released ]] || released_commit >/dev/null
}

# These, as a tar archive.
released_sources() {
	local commit

	if [[ -d $project/.released ]]; then
		tar --create --file=- --directory="$project/.released" .
	else
		commit=$(released_commit) && our_git archive "$commit"
	fi
}

# Copy the PostgreSQL installation to below a folder, and have PG_CONFIG and
# bindir mean the copy: what is installed there is in nobody's way.  The programs
# find all else relative to where they are, so they are really copied; the other
# files are links, in folders of our own.
copy_installation() {
	local prefix=$1 original=$PG_CONFIG what

	as_runner mkdir -p "$prefix$bindir"
	as_runner cp -L -- "$bindir"/* "$prefix$bindir"
	for what in --pkglibdir --sharedir --pkgincludedir --includedir-server; do
		copy_as_links "$("$original" "$what")" "$prefix"
	done
	PG_CONFIG=$prefix$bindir/pg_config
	bindir=$prefix$bindir
	for what in --bindir --pkglibdir --sharedir; do
		[[ $("$PG_CONFIG" "$what") == "$prefix$("$original" "$what")" ]] ||
			die "this PostgreSQL cannot be used from a copy: $what of $PG_CONFIG is $("$PG_CONFIG" "$what")"
	done
	as_runner find "$prefix" -name 'storeengine*' -type l -delete
}

copy_as_links() {
	as_runner mkdir -p "$2$1"
	as_runner cp --recursive --symbolic-link --no-clobber -- "$1/." "$2$1"
}

# ------------------------------------------------------------- work folder

# Choose the folder to work in, .work/NAME in the project, and lock it.  If
# the runner can't use it - because a folder above is closed to it, say, as
# /root is to postgres - take one below /var/tmp.
open_area() {
	local checksum

	area=$project/.work/$1
	if ! claim_area; then
		rmdir -- "$area" 2>/dev/null || true
		checksum=$(cksum <<<"$project")
		area=/var/tmp/storeengine-$EUID-${checksum%% *}/$1
		claim_area || die "can work neither below $project nor in $area"
		say "The server can't live in $project/.work (closed to its account, someone else's," \
			"or blanks in the name): working in $area"
	fi

	# The lock is on the folder itself and goes with this process.
	exec 9<"$area"
	flock --nonblock 9 || die "another ${0##*/} is at work in $area"
	cd "$area" || return
}

# Make sure that $area exists, is ours alone, and is of use to the runner.
claim_area() {
	local parent=${area%/*}

	# make and unix_socket_directories know no blanks in names
	[[ $area != *[!A-Za-z0-9_./+@-]* ]] || return 1
	mkdir -p "$parent" 2>/dev/null || return 1
	[[ -O $parent && ! -L $parent ]] || return 1
	echo '*' >"$parent/.gitignore" || return 1
	[[ -d $area ]] || mkdir "$area" || return 1
	[[ ! -L $area ]] || return 1
	((EUID != 0)) || chown postgres: "$area" 2>/dev/null || return 1
	as_runner test -w "$area" -a -x "$area"
}

empty_area() {
	find "$area" -mindepth 1 -maxdepth 1 -exec rm -rf -- {} +
}

# ------------------------------------------------------------------- build

# Build a copy of the sources and install it.  The source tree stays as it
# is, and need not be readable for the runner.  Arguments are make's.
build_and_install() {
	local make=(make --no-print-directory "PG_CONFIG=$PG_CONFIG" "$@")
	local extensions

	say "Building in $area/build for $("$PG_CONFIG" --version)"
	as_runner mkdir "$area/build"
	list_sources |
		tar --create --file=- --directory="$project" --null --no-recursion --files-from=- |
		as_runner tar --extract --file=- --directory="$area/build"
	logged "$area/build.log" as_runner "${make[@]}" -C "$area/build" -j "$(nproc)"
	logged "$area/examples.log" as_runner "${make[@]}" -C "$area/build/examples"

	say "Installing the extension into $("$PG_CONFIG" --pkglibdir)"
	extensions=$("$PG_CONFIG" --sharedir)/extension
	if [[ -w $("$PG_CONFIG" --pkglibdir) && -w $extensions ]]; then
		logged "$area/install.log" "${make[@]}" -C "$area/build" install
	else
		logged "$area/install.log" as_root "${make[@]}" -C "$area/build" install
	fi
}

# The files of the project, each ended by a zero byte.
list_sources() {
	local file

	cd "$project" || return
	if [[ -e .git ]] && git ls-files >/dev/null 2>&1; then
		git ls-files -z --cached --others --exclude-standard |
			while IFS= read -r -d '' file; do
				# git also lists files that were deleted but not yet committed so
				if [[ -e $file || -L $file ]]; then printf '%s\0' "$file"; fi
			done
	else
		find . \( -path ./.git -o -path ./.work -o -path ./.released \) -prune -o \
			! -type d ! -name '*.o' ! -name '*.bc' ! -name '*.so' -print0
	fi
}

# ------------------------------------------------------------------ server

# Create and start a server of our own in $area, reached through a socket in
# a private folder and nowhere else.  More settings come from standard input.
start_server() {
	local data=$area/data

	socket=$area/socket
	if ((${#socket} > 80)); then # the name of a socket has at most 107 bytes
		socket=$(as_runner mktemp -d /tmp/storeengine.XXXXXX)
	else
		as_runner mkdir -m 0700 "$socket"
	fi

	logged "$area/initdb.log" as_runner "$bindir/initdb" --pgdata="$data" --no-sync \
		--username=postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8
	{
		echo "listen_addresses = ''"
		echo "port = $private_port"
		echo "unix_socket_directories = '$socket'"
		echo "shared_preload_libraries = 'storeengine'"
		cat
	} | as_runner tee -a "$data/postgresql.conf" >/dev/null

	# The server outlives this call, so it must not inherit the lock.
	if ! as_runner "$bindir/pg_ctl" --pgdata="$data" --log="$area/server.log" \
		--silent --wait start </dev/null >"$area/start.log" 2>&1 9<&-; then
		cat "$area/start.log" "$area/server.log" >&2
		die "the server did not start"
	fi
	export PGHOST=$socket PGPORT=$private_port PGUSER=postgres
}

# Stop the server of $area, if there is one.  A postmaster.pid can be a left-
# over whose number now belongs to a stranger, so see who answers first: only
# our server can listen in our folder.
stop_server() {
	local program programs folder answer=0

	[[ -e $area/data/postmaster.pid ]] || return 0
	read -r program _ <"$area/data/postmaster.opts"
	programs=${program%/*} # of its version, which may be another than today's
	folder=$(sed -n 5p "$area/data/postmaster.pid")
	"$programs/pg_isready" --quiet --host="$folder" --port="$private_port" || answer=$?
	if ((answer < 2)); then
		as_runner "$programs/pg_ctl" --pgdata="$area/data" --mode=fast --silent --wait stop
	fi
	if [[ $folder == /tmp/storeengine.* ]]; then
		rm -rf -- "$folder"
	fi
}
