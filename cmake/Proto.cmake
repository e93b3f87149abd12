# im_proto_library(NAME ROOT dir PROTOS a.proto ... [DEPS target ...])
# C++ of protos, messages and gRPC, as one static library. Built without our warnings.
function(im_proto_library name)
  cmake_parse_arguments(ARG "" "ROOT" "PROTOS;DEPS;IMPORTS" ${ARGN})
  set(out ${CMAKE_BINARY_DIR}/generated)
  file(MAKE_DIRECTORY ${out})
  set(sources)
  foreach(proto ${ARG_PROTOS})
    string(REGEX REPLACE "\\.proto$" "" stem ${proto})
    set(files ${out}/${stem}.pb.cc ${out}/${stem}.pb.h)
    set(plugin)
    file(STRINGS ${ARG_ROOT}/${proto} services REGEX "^service ")
    if(services)
      list(APPEND files ${out}/${stem}.grpc.pb.cc ${out}/${stem}.grpc.pb.h)
      set(plugin --grpc_out=${out} --plugin=protoc-gen-grpc=${IM_GRPC_CPP_PLUGIN})
    endif()
    add_custom_command(
      OUTPUT ${files}
      COMMAND ${IM_PROTOC} -I${ARG_ROOT} --cpp_out=${out} ${plugin} ${proto}
      DEPENDS ${ARG_ROOT}/${proto}
      COMMENT "protoc ${proto}")
    list(APPEND sources ${files})
  endforeach()
  add_library(${name} STATIC ${sources})
  target_include_directories(${name} SYSTEM PUBLIC ${out})
  if(IM_FUZZ)
    # Not ours, and half of what there is to compile: neither checked nor optimised.
    target_compile_options(${name} PRIVATE -fno-sanitize=all -O0 -g0)
  endif()
  target_link_libraries(${name} PUBLIC protobuf::libprotobuf PkgConfig::GRPCPP ${ARG_DEPS})
endfunction()
