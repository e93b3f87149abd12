# Compiler, warnings, cache and linker; everything that is the same for all targets.

find_program(IM_CCACHE ccache)
if(IM_CCACHE)
  # Precompiled headers and ccache get along only with these.
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env
      CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      ${IM_CCACHE})
endif()

find_program(IM_MOLD mold)
if(IM_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  add_compile_options(-fpch-preprocess)
endif()

if(IM_SANITIZE)
  add_compile_options(-fsanitize=${IM_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${IM_SANITIZE})
endif()
if(IM_SANITIZE MATCHES thread)
  # Headers of Protobuf and Abseil ask for it and change the layout of classes (each map field of
  # Protobuf gets two members), which Debian's libraries, built without, do not know of. libstdc++,
  # which asks as well, is told otherwise: its shared_ptr reads both counts at once without.
  add_compile_options(-U__SANITIZE_THREAD__ -D_GLIBCXX_TSAN=1)
endif()
if(IM_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link -fno-sanitize-recover=all)
endif()

add_link_options(-Wl,--as-needed)

# For code of ours; generated code is built without.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set(shadow -Wshadow=local)
endif()
set(IM_WARNINGS -Wall -Wextra ${shadow} -Wno-missing-field-initializers -Wnon-virtual-dtor -Woverloaded-virtual -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # False alarms of GCC 12 in std::string at -O2 (GCC bug 105651).
  list(APPEND IM_WARNINGS -Wno-restrict)
endif()
