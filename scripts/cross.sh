# shellcheck shell=sh
# Sourced: how meson compiles for another processor, by Debian's name of the architecture.

gnu_name() {
    case $1 in
        amd64) echo x86_64-linux-gnu ;;
        arm64) echo aarch64-linux-gnu ;;
        armhf) echo arm-linux-gnueabihf ;;
        riscv64 | s390x) echo "$1-linux-gnu" ;;
        *) die "unknown architecture: $1" ;;
    esac
}

# cross_tool ARCH gcc|gcc-ar: print its path. Debian's gcc-multilib excludes the tools without a number.
cross_tool() {
    gnu=$(gnu_name "$1")
    command -v "$gnu-$2" && return
    for version in 16 15 14 13 12; do
        command -v "$gnu-$2-$version" && return
    done
    die "$gnu-$2 is missing (Debian: apt-get install gcc-$(echo "$gnu" | tr _ -) or gcc-12-$(echo "$gnu" | tr _ -))"
}

# cross_file ARCH [EMULATOR]: print a cross file.
cross_file() {
    gnu=$(gnu_name "$1")
    family=${gnu%%-*}
    case $1 in s390x) endian=big ;; *) endian=little ;; esac
    compiler=$(cross_tool "$1" gcc) || return
    archiver=$(cross_tool "$1" gcc-ar) || return
    printf '%s\n' '[binaries]' "c = '$compiler'" "ar = '$archiver'" \
        "strip = '$gnu-strip'" "objcopy = '$gnu-objcopy'"
    [ -z "${2:-}" ] || printf '%s\n' "exe_wrapper = ['$2', '-L', '/usr/$gnu']"
    printf '%s\n' '[host_machine]' "system = 'linux'" "cpu_family = '$family'" "cpu = '$family'" "endian = '$endian'"
}
