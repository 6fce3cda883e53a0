# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Fetches upstream tarballs out of Debian's source packages, of a suite that need not be the machine's own. For scripts
# that source this file: they have `say` and `die`, and set `work` (a folder for logs) and `apt_root` (one for apt alone).
#
# apt does it, and so checks the signatures, through a private configuration that is derived from the machine's own:
# the system's package lists and sources stay as they are. It needs no root.
readonly keyrings=/usr/share/keyrings

mirrors() {  # suite: the archives that the machine takes its own release from, whatever the form of its sources
  local -r suite=$1
  local release
  release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
  # shellcheck disable=SC2016  # apt fills these in
  apt-get indextargets --no-release-info --format '$(COMPONENT) $(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
    sed -nE "s#^main ($suite|${release:-stable}|(old)*stable|testing|unstable|sid) ##p" |
    awk '!seen[$0]++' | while read -r uri; do
    case $uri in
      cdrom:*) ;;
      # A file with the mirrors in it, as cloud images have. apt-get source fails on those, though update does not.
      mirror+file:*) uri=${uri#mirror+file:} && awk '/^[^#]/ { print $1 }' "${uri%/}" ;;
      *) echo "$uri" ;;
    esac
  done
}

# Runs apt-get with lists, caches and sources of its own. The machine's proxy, credentials and keys hold here, too.
private_apt() { apt-get -c "$apt_root/apt.conf" -o Acquire::Retries=3 "$@"; }

prepare_private_apt() {
  mkdir -p "$apt_root"/{lists/partial,cache/archives/partial,fetched}
  cat >"$apt_root/apt.conf" <<CONF
Dir::Etc::sourcelist "$apt_root/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State::lists "$apt_root/lists";
Dir::Cache "$apt_root/cache";
APT::Default-Release "";
Acquire::Languages "none";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
APT::Get::AllowUnauthenticated "false";
#clear APT::Update;
CONF
  # Run as root, apt downloads as the user _apt; only the list of sources, which may hold a password, is not for it.
  (umask 077 && : >"$apt_root/sources.list")
  if ((EUID == 0)) && id _apt >/dev/null 2>&1; then chmod 711 "$apt_root" && chown -R _apt "$apt_root"/{lists,cache,fetched}; fi
}

fetch_sources() {  # suite, what to do where there is none, packages: leaves the upstream tarballs in $apt_root/fetched
  local -r suite=$1 advice=$2
  shift 2
  prepare_private_apt
  local mirror origin
  while read -r mirror; do
    say "asking the machine's Debian mirror for the sources of $suite: $*"
    echo "deb-src [signed-by=$keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$apt_root/sources.list"
    private_apt -qq -o APT::Update::Error-Mode=any update >"$work/apt.log" 2>&1 || continue
    # shellcheck disable=SC2016  # apt fills it in
    origin=$(private_apt indextargets --format '$(ORIGIN)' 'Created-By: Sources' | sort -u)
    [[ $origin == Debian ]] || continue
    if (cd "$apt_root/fetched" && private_apt -qq source --download-only --only-source "$@" >"$work/apt.log" 2>&1); then return; fi
  done < <(mirrors "$suite")
  [[ ! -s $work/apt.log ]] || tail -n 10 "$work/apt.log" >&2
  die "no archive among the machine's apt sources gave the sources of Debian $suite. $advice"
}
