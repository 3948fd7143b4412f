// Calls a Python function again and again: what callgrind counts is what goes on inside
// herenow_repeat. A library for ctypes, so that no headers of Python are needed.
extern void *PyObject_CallNoArgs(void *function);
extern void Py_DecRef(void *object);

__attribute__((noipa)) int herenow_repeat(void *function, long times) {
    for (long i = 0; i < times; i++) {
        void *result = PyObject_CallNoArgs(function);
        if (!result) return -1;
        Py_DecRef(result);
    }
    return 0;
}

// callgrind does not see the call of a function that libffi makes, but the next one.
int herenow_start(void *function, long times) {
    int failed = herenow_repeat(function, times);
    return failed ? failed : 0;
}
