/* The fixed peer of the hook client: the least that a process can be. */
int main(void) { return 0; }
