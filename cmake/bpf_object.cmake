# SPDX-License-Identifier: Apache-2.0
# Compiles bpf/tracer.bpf.c and makes its skeleton header: target `tracer_skeleton`, header "tracer.skel.h".
find_program(CLANG NAMES clang clang-19 clang-14 REQUIRED)
find_program(BPFTOOL NAMES bpftool PATHS /usr/sbin /sbin REQUIRED)

set(bpf_dir ${CMAKE_CURRENT_BINARY_DIR}/bpf)
file(MAKE_DIRECTORY ${bpf_dir})
file(GLOB bpf_sources CONFIGURE_DEPENDS bpf/*.h bpf/*.c bpf/abi/*.h vmlinux/x86/*.h)

add_custom_command(
  OUTPUT ${bpf_dir}/tracer.skel.h
  COMMAND ${CLANG} -g -O2 -target bpf -mcpu=v3 -D__TARGET_ARCH_x86 -Wall -Wextra -Werror
          -I${CMAKE_CURRENT_SOURCE_DIR} -I${CMAKE_CURRENT_SOURCE_DIR}/vmlinux/x86
          -ffile-prefix-map=${CMAKE_CURRENT_SOURCE_DIR}=.
          -c ${CMAKE_CURRENT_SOURCE_DIR}/bpf/tracer.bpf.c -o ${bpf_dir}/tracer.tmp.o
  COMMAND ${BPFTOOL} gen object ${bpf_dir}/tracer.bpf.o ${bpf_dir}/tracer.tmp.o
  COMMAND ${BPFTOOL} gen skeleton ${bpf_dir}/tracer.bpf.o name tracer_bpf > ${bpf_dir}/tracer.skel.h
  DEPENDS ${bpf_sources}
  COMMENT "BPF object and skeleton"
  VERBATIM)

add_custom_target(tracer_skeleton_header DEPENDS ${bpf_dir}/tracer.skel.h)
add_library(tracer_skeleton INTERFACE)
target_include_directories(tracer_skeleton SYSTEM INTERFACE ${bpf_dir})
add_dependencies(tracer_skeleton tracer_skeleton_header)
